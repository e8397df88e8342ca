"""What a team hands over, read without running any of it: bytes become plain data, and texts become statements."""
