"""A clinic's desk: patients, rooms, appointments."""
