"""What authors and presenters run. Its modules are loaded one by one, as a command needs them."""
