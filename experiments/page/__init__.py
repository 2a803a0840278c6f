"""The page on which a photograph is opened, its damage painted, and its repair watched; `experiments.app` starts it."""
