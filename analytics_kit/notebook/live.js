// Draws the HTML that the kernel sends, keeps what has not changed (focus, open details, selected text), and tells
// the kernel which button was pressed.
const page = (globalThis.analyticsKitPage ??= Math.random().toString(36).slice(2));

const key = (node) => node.dataset?.key ?? node.dataset?.do;
const alike = (a, b) => a.nodeName === b.nodeName && key(a) === key(b);

function follow(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes])
    if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of next.attributes)
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  followChildren(old, next);
}

function followChildren(old, next) {
  const known = new Map([...old.children].filter(key).map((node) => [key(node) + node.nodeName, node]));
  let at = old.firstChild;
  for (const wanted of [...next.childNodes]) {
    let found = key(wanted) ? known.get(key(wanted) + wanted.nodeName) : at && alike(at, wanted) ? at : undefined;
    if (!found) old.insertBefore(wanted, at);
    else {
      if (found === at) at = at.nextSibling;
      else old.insertBefore(found, at);
      follow(found, wanted);
    }
  }
  while (at) {
    const rest = at.nextSibling;
    at.remove();
    at = rest;
  }
}

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

export function draw(model, el) {
  const body = document.createElement("div");
  const say = Object.assign(document.createElement("div"), { className: "ak-say" });
  say.setAttribute("role", "status");
  say.setAttribute("aria-live", "polite");
  body.tabIndex = -1;
  el.append(body, say);
  let drawnAt = performance.now();

  const show = () => {
    const { html, said } = model.get("shown");
    const focused = body.contains(document.activeElement);
    const template = document.createElement("template");
    template.innerHTML = html;
    followChildren(body, template.content);
    drawnAt = performance.now();
    if (focused && !body.contains(document.activeElement)) (body.querySelector("button") ?? body).focus();
    if (say.textContent !== said) say.textContent = said;
  };
  const tick = () => {
    for (const span of body.querySelectorAll("[data-s]"))
      span.textContent = duration(Number(span.dataset.s) + (performance.now() - drawnAt) / 1000);
  };
  const press = (event) => {
    const pressed = event.target.closest("button[data-do]");
    if (!pressed) return;
    pressed.setAttribute("aria-busy", "true");
    model.send({ do: pressed.dataset.do, job: pressed.dataset.job });
  };

  show();
  model.on("change:shown", show);
  body.addEventListener("click", press);
  const ticking = setInterval(tick, 1000);
  return () => {
    clearInterval(ticking);
    model.off("change:shown", show);
  };
}

export default {
  initialize({ model }) {
    model.send({ do: "draw", page });
  },
  render({ model, el }) {
    return draw(model, el);
  },
};
