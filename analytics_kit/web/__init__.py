"""The HTTP API: how do web front ends submit studies, ask for jobs and read results?

`app.create_app(settings)` is a Flask application, `app.create_blueprint(service)` what an existing one mounts.
"""

PREFIX = "/api/analytics"
"""The page and the routes are below it, unless a platform mounts them elsewhere."""
