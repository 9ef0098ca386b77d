"""The program on the vehicle's computer. Of the platform it knows the wire types alone; runners are its own tools."""
