"""Commands about pipelines that run elsewhere: whatever deployer is installed, by the hook ``pypz_make_deployer``."""
