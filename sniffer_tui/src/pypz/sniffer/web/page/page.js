// Keys go to the terminal at once, without a click first.
new MutationObserver(() => {
  if (document.body.classList.contains("-first-byte")) {
    document.querySelector("#terminal textarea")?.focus();
  }
}).observe(document.documentElement, { attributes: true, subtree: true, attributeFilter: ["class"] });
