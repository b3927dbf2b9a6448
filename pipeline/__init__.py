"""How signals become representations: data, objectives, training, evaluation. Never imports ray or mlflow."""
