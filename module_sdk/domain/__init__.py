"""What a task is: its fields, its states, its texts and times. Nothing here does I/O."""
