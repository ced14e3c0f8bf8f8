"""One member's channels during one execution: the session that executor and ports call, and the parts it is made of."""
