"""What Longshore costs, measured on real RabbitMQ with SQLite on the code path and the defaults of a user."""
