"""What the public routes take and give: one file for each audience."""
