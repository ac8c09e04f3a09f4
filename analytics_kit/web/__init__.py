"""Serve studies, jobs and results over HTTP, as an application or as part of an existing one.

`app.create_app(settings)` returns a Flask application, `app.create_blueprint(service)` a blueprint to mount in one.
"""

URL_PREFIX = "/api/analytics"
"""Default prefix of the page and of all routes."""
