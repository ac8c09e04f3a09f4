"""A browser at the page, as far as tests need no real one."""

from html.parser import HTMLParser

from tests.web.api_client import TOKENS, Asker


class Page(HTMLParser):
    """A page as a browser reads it: its text, and all elements with their attributes."""

    def __init__(self, answer):
        super().__init__()
        self.elements, self.text = [], ""
        self.html = answer.get_data(as_text=True)
        self.feed(self.html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, text):
        self.text += f"{text} "

    def all(self, tag):
        return [attributes for found, attributes in self.elements if found == tag]

    @property
    def proof(self):
        """What forms of the page send along."""
        (found,) = {each["value"] for each in self.all("input") if each.get("name") == "csrf"}
        return found


class Browser(Asker):
    """A browser at the page."""

    def __init__(self, app, name=None):
        super().__init__(app)
        self.app = app
        if name is not None:
            self.sign_in(TOKENS[name], 303)

    def see(self, path="/", code=200, **how):
        return Page(self.get(path, code, **how))

    def send(self, code, headers=None, **form):
        """Send a form of the page."""
        return self.ask("POST", "/", code, data=form, headers=headers)

    def sign_in(self, token, code, **how):
        return self.ask("POST", "/", code, data={"do": "sign-in", "token": token}, **how)

    def press(self, do, code=303, **form):
        """Press a button; what the page says then."""
        answer = self.send(code, do=do, csrf=self.see().proof, **form)
        if code == 303:
            assert answer.headers["Location"].startswith("./?note="), "seen from the page, wherever it is"
            return self.see(answer.headers["Location"].removeprefix(".")).text
        return Page(answer).text
