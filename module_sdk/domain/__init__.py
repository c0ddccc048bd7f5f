"""The definition of a task: fields, statuses, texts and times. Nothing in this package does I/O."""
