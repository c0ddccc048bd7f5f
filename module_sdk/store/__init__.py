"""What a store is: the class that a backend extends, how it is opened, and how its calls end in time."""
