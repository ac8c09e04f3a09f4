"""A browser at the page, for tests that need no real one."""

from html.parser import HTMLParser

from tests.web.api_client import TOKENS, ApiClient


class ParsedPage(HTMLParser):
    """A page: its text, and all elements with their attributes."""

    def __init__(self, response):
        super().__init__()
        self.elements, self.text = [], ""
        self.html = response.get_data(as_text=True)
        self.feed(self.html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, text):
        self.text += f"{text} "

    def all(self, tag):
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def csrf_token(self):
        """The CSRF token that all forms of the page send."""
        (token,) = {attributes["value"] for attributes in self.all("input") if attributes.get("name") == "csrf"}
        return token


class Browser(ApiClient):
    """A browser that keeps cookies; signed in to a namespace, or not."""

    def __init__(self, app, namespace=None):
        super().__init__(app)
        self.app, self._account = app, namespace
        if namespace is not None:
            self.sign_in(TOKENS[namespace], 303)

    @property
    def backend(self):
        """The backend of the namespace that the browser is signed in to."""
        return self.service.client_for(self._account).backend

    def open(self, path="/", code=200, **options):
        return ParsedPage(self.get(path, code, **options))

    def send_form(self, code, headers=None, **form):
        return self.request("POST", "/", code, data=form, headers=headers)

    def sign_in(self, token, code, **options):
        return self.request("POST", "/", code, data={"do": "sign-in", "token": token}, **options)

    def press(self, action, code=303, **form):
        """Press a button; return the text of the page that follows."""
        response = self.send_form(code, do=action, csrf=self.open().csrf_token, **form)
        if code == 303:
            assert response.headers["Location"].startswith("./?note="), "relative, so that it works below any prefix"
            return self.open(response.headers["Location"].removeprefix(".")).text
        return ParsedPage(response).text
