"""A study from its cells to its results: builds tasks, runs methods, scores them with gold, writes `runs/<name>/`."""
