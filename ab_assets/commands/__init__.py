"""What each command does, without the words of the command line."""
