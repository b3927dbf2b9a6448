"""What travels with an exported model: reading its folder, and the class that MLflow serves. Never imports ray."""
