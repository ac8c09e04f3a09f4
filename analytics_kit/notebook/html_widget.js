// Draws the HTML that the kernel sends, keeps what has not changed (focus, open details, selected text), and tells
// the kernel what was pressed, chosen or typed. Files are sent in pieces, each when an earlier one has arrived.
const page = (globalThis.analyticsKitPage ??= Math.random().toString(36).slice(2));
const PIECE_BYTES = 1 << 20;
const AHEAD = 3;

const key = (node) => node.dataset?.key ?? node.dataset?.do;
const alike = (a, b) => a.nodeName === b.nodeName && key(a) === key(b);

function follow(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes])
    if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) === value) continue;
    old.setAttribute(name, value);
    if (name === "value" && old.nodeName === "INPUT" && old !== document.activeElement) old.value = value;
  }
  if (!isFigure(next)) followChildren(old, next);
  if (old.nodeName === "SELECT" && old.value !== next.value) old.value = next.value; // once touched it heeds no option
}

function followChildren(old, next) {
  const known = new Map([...old.children].filter(key).map((node) => [key(node) + node.nodeName, node]));
  let at = old.firstChild;
  for (const wanted of [...next.childNodes]) {
    const found = key(wanted) ? known.get(key(wanted) + wanted.nodeName) : at && alike(at, wanted) ? at : undefined;
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

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function send(model, file, area, tell) {
  const token = Math.random().toString(36).slice(2);
  const label = Object.assign(document.createElement("label"), { className: "ak-progress" });
  const name = Object.assign(document.createElement("span"), { textContent: `Uploading ${file.name}` });
  const progress = Object.assign(document.createElement("progress"), { max: Math.max(file.size, 1), value: 0 });
  const percent = Object.assign(document.createElement("span"), { className: "ak-percent", textContent: "0%" });
  const stop = Object.assign(document.createElement("button"), { type: "button", textContent: "Stop" });
  stop.className = "ak-button";
  stop.setAttribute("aria-label", `Stop uploading ${file.name}`);
  label.append(name, progress, percent);
  area.append(label, stop);
  let [sent, arrived, sending] = [0, 0, false];

  return new Promise((settle) => {
    const end = (words) => {
      model.off("msg:custom", hear);
      stop.remove();
      if (words) {
        label.replaceChildren(words);
        label.className = "ak-note";
        tell(words);
      } else label.remove();
      settle();
    };
    const more = async () => {
      if (sending) return; // pieces go in order
      sending = true;
      while (sent < file.size && sent - arrived < AHEAD * PIECE_BYTES) {
        const piece = await file.slice(sent, sent + PIECE_BYTES).arrayBuffer();
        model.send({ do: "piece", token, at: sent }, undefined, [new DataView(piece)]);
        sent += piece.byteLength;
      }
      sending = false;
    };
    const hear = (told) => {
      if (told?.token !== token) return;
      if (told.error) return end(`${file.name} was not uploaded. ${told.error}`);
      progress.value = arrived = told.arrived;
      percent.textContent = `${Math.floor((100 * arrived) / Math.max(file.size, 1))}%`;
      if (told.done) end("");
      else more().catch((error) => {
        model.send({ do: "abandon", token });
        end(`${file.name} can't be read: ${error.message}`);
      });
    };
    model.on("msg:custom", hear);
    stop.addEventListener("click", () => {
      model.send({ do: "abandon", token });
      end(`The upload of ${file.name} was stopped.`);
    });
    model.send({ do: "upload", token, name: file.name, size: file.size });
  });
}

function draw(model, el) {
  const make = (kind) => Object.assign(document.createElement("div"), { className: kind });
  const [body, say, area] = [make("ak-body"), make("ak-say"), make("ak-uploads")];
  say.setAttribute("role", "status");
  say.setAttribute("aria-live", "polite");
  body.tabIndex = -1;
  el.append(area, body, say);
  let drawnAt = performance.now();
  let uploads = Promise.resolve();

  const show = () => {
    const { html, said } = model.get("shown");
    const focused = body.contains(document.activeElement) ? document.activeElement : null;
    const template = document.createElement("template");
    template.innerHTML = html;
    followChildren(body, template.content);
    drawnAt = performance.now();
    tick();
    if (focused && !body.contains(document.activeElement)) (body.querySelector("button") ?? body).focus();
    if (say.textContent !== said) say.textContent = said;
    drawFigures(model, body);
    tellTheme();
  };
  let toldTheme = "light";
  const tellTheme = () => {
    if (toldTheme === pageTheme() || !body.querySelector("[data-figure]")) return;
    toldTheme = pageTheme();
    model.send({ do: "theme", value: toldTheme });
  };
  const tick = () => {
    for (const span of body.querySelectorAll("[data-s]"))
      span.textContent = duration(Number(span.dataset.s) + (performance.now() - drawnAt) / 1000);
  };
  const press = ({ target }) => {
    const pressed = target.closest("button[data-do]");
    if (!pressed || pressed.ariaDisabled === "true") return; // unlike a disabled one it keeps the focus
    pressed.setAttribute("aria-busy", "true");
    model.send({ do: pressed.dataset.do, job: pressed.dataset.job });
  };
  // Before JupyterLab, which takes letters and arrows on a button for commands of the notebook.
  const keep = (event) => {
    const plain = !(event.altKey || event.ctrlKey || event.metaKey || (event.shiftKey && event.key === "Enter"));
    if (!plain || !body.contains(event.target) || !/^(.|Arrow.*|Enter)$/u.test(event.key)) return;
    event.stopPropagation();
    const does = { ArrowLeft: "previous", ArrowRight: "next" }[event.key];
    const button = does && body.querySelector(`button[data-do="${does}"]`);
    if (!button || event.target.matches("select,input")) return;
    event.preventDefault();
    if (!(event.repeat && button.hasAttribute("aria-busy"))) button.click();
  };
  const typing = {};
  const choose = ({ target }) => {
    const ask = target.dataset.ask;
    if (!ask) return;
    clearTimeout(typing[ask]);
    typing[ask] = setTimeout(() => model.send({ do: ask, value: target.value }), target.type === "search" ? 200 : 0);
  };
  const take = (files) => {
    for (const file of files) uploads = uploads.then(() => send(model, file, area, (words) => (say.textContent = words)));
  };
  const pick = ({ target }) => {
    if (target.type !== "file") return;
    take([...target.files]);
    target.value = "";
  };
  const over = (event) => {
    const place = event.target.closest(".ak-drop");
    if (!place) return;
    event.preventDefault();
    event.stopPropagation();
    place.classList.toggle("ak-over", event.type === "dragover");
    if (event.type === "drop") take([...event.dataTransfer.files]);
  };

  show();
  model.on("change:shown", show);
  // anywidget takes away the listener with which ipywidgets marks a view whose kernel is gone.
  const gone = () => el.classList.add("jupyter-widgets-disconnected");
  model.on("comm_live_update", gone);
  body.addEventListener("click", press);
  body.addEventListener("input", choose);
  body.addEventListener("change", pick);
  for (const kind of ["dragover", "dragleave", "drop"]) body.addEventListener(kind, over);
  addEventListener("keydown", keep, true);
  const ticking = setInterval(tick, 1000);
  const themes = new MutationObserver(tellTheme);
  themes.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  return () => {
    clearInterval(ticking);
    removeEventListener("keydown", keep, true);
    themes.disconnect();
    forgetFigures(body);
    model.off("change:shown", show);
    model.off("comm_live_update", gone);
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
