"""The commands of this project, and everything between a command line and the library."""
