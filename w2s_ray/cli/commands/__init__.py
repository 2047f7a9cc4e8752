"""What is typed: names, options and help of the commands. What they do is imported when they are called."""
