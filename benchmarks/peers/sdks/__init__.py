"""One action of ten facts, written for each SDK as its users would. Each module runs in its peer's environment."""
