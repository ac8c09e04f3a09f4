// Draw the HTML that the kernel sends, keep unchanged elements (focus, open details, selected text), and report clicks,
// choices and typing to the kernel. Files are uploaded in pieces; a limited number of them is in transit.
const pageId = (globalThis.analyticsKitPage ??= Math.random().toString(36).slice(2));
const PIECE_BYTES = 1 << 20;
const MAX_PIECES_IN_TRANSIT = 3;

const keyOf = (node) => node.dataset?.key ?? node.dataset?.action;
const isSameElement = (a, b) => a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

function patch(old, next) {
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
  if (!isFigure(next)) patchChildren(old, next);
  // after a choice of the user, a select ignores the attributes of its options
  if (old.nodeName === "SELECT" && old.value !== next.value) old.value = next.value;
}

function patchChildren(old, next) {
  const keyed = new Map([...old.children].filter(keyOf).map((node) => [keyOf(node) + node.nodeName, node]));
  let cursor = old.firstChild;
  for (const wanted of [...next.childNodes]) {
    const match = keyOf(wanted)
      ? keyed.get(keyOf(wanted) + wanted.nodeName)
      : cursor && isSameElement(cursor, wanted) ? cursor : undefined;
    if (!match) old.insertBefore(wanted, cursor);
    else {
      if (match === cursor) cursor = cursor.nextSibling;
      else old.insertBefore(match, cursor);
      patch(match, wanted);
    }
  }
  while (cursor) {
    const following = cursor.nextSibling;
    cursor.remove();
    cursor = following;
  }
}

function formatDuration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function uploadFile(model, file, area, announce) {
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
  let [sent, received, isSending] = [0, 0, false];

  return new Promise((resolve) => {
    const finish = (note) => {
      model.off("msg:custom", onReply);
      stop.remove();
      if (note) {
        label.replaceChildren(note);
        label.className = "ak-note";
        announce(note);
      } else label.remove();
      resolve();
    };
    const sendPieces = async () => {
      if (isSending) return; // pieces go in order
      isSending = true;
      while (sent < file.size && sent - received < MAX_PIECES_IN_TRANSIT * PIECE_BYTES) {
        const piece = await file.slice(sent, sent + PIECE_BYTES).arrayBuffer();
        model.send({ action: "piece", token, offset: sent }, undefined, [new DataView(piece)]);
        sent += piece.byteLength;
      }
      isSending = false;
    };
    const onReply = (reply) => {
      if (reply?.token !== token) return;
      if (reply.error) return finish(`${file.name} was not uploaded. ${reply.error}`);
      progress.value = received = reply.received;
      percent.textContent = `${Math.floor((100 * received) / Math.max(file.size, 1))}%`;
      if (reply.done) finish("");
      else sendPieces().catch((error) => {
        model.send({ action: "abandon", token });
        finish(`${file.name} can't be read: ${error.message}`);
      });
    };
    model.on("msg:custom", onReply);
    stop.addEventListener("click", () => {
      model.send({ action: "abandon", token });
      finish(`The upload of ${file.name} was stopped.`);
    });
    model.send({ action: "upload", token, name: file.name, size: file.size });
  });
}

function mount(model, el) {
  const div = (className) => Object.assign(document.createElement("div"), { className });
  const [body, announcer, uploadArea] = [div("ak-body"), div("ak-announcement"), div("ak-uploads")];
  announcer.setAttribute("role", "status");
  announcer.setAttribute("aria-live", "polite");
  body.tabIndex = -1;
  el.append(uploadArea, body, announcer);
  let drawnAt = performance.now();
  let uploads = Promise.resolve();

  const draw = () => {
    const { html, announcement } = model.get("content");
    const focused = body.contains(document.activeElement) ? document.activeElement : null;
    const template = document.createElement("template");
    template.innerHTML = html;
    patchChildren(body, template.content);
    drawnAt = performance.now();
    updateElapsed();
    if (focused && !body.contains(document.activeElement)) (body.querySelector("button") ?? body).focus();
    if (announcer.textContent !== announcement) announcer.textContent = announcement;
    drawFigures(model, body);
    sendTheme();
  };
  let sentTheme = "light";
  const sendTheme = () => {
    if (sentTheme === pageTheme() || !body.querySelector("[data-figure]")) return;
    sentTheme = pageTheme();
    model.send({ action: "theme", value: sentTheme });
  };
  const updateElapsed = () => {
    for (const span of body.querySelectorAll("[data-seconds]"))
      span.textContent = formatDuration(Number(span.dataset.seconds) + (performance.now() - drawnAt) / 1000);
  };
  const onClick = ({ target }) => {
    const button = target.closest("button[data-action]");
    if (!button || button.ariaDisabled === "true") return; // aria-disabled, unlike disabled, keeps the focus
    button.setAttribute("aria-busy", "true");
    model.send({ action: button.dataset.action, job: button.dataset.job });
  };
  // Captured before JupyterLab, which takes letters and arrows on a button for commands of the notebook.
  const onKeyDown = (event) => {
    const plain = !(event.altKey || event.ctrlKey || event.metaKey || (event.shiftKey && event.key === "Enter"));
    if (!plain || !body.contains(event.target) || !/^(.|Arrow.*|Enter)$/u.test(event.key)) return;
    event.stopPropagation();
    const action = { ArrowLeft: "previous", ArrowRight: "next" }[event.key];
    const button = action && body.querySelector(`button[data-action="${action}"]`);
    if (!button || event.target.matches("select,input")) return;
    event.preventDefault();
    if (!(event.repeat && button.hasAttribute("aria-busy"))) button.click();
  };
  const timers = {};
  const onInput = ({ target }) => {
    const field = target.dataset.field;
    if (!field) return;
    clearTimeout(timers[field]);
    const delay = target.type === "search" ? 200 : 0;
    timers[field] = setTimeout(() => model.send({ action: field, value: target.value }), delay);
  };
  const announce = (text) => (announcer.textContent = text);
  const enqueueUploads = (files) => {
    for (const file of files) uploads = uploads.then(() => uploadFile(model, file, uploadArea, announce));
  };
  const onFilesChosen = ({ target }) => {
    if (target.type !== "file") return;
    enqueueUploads([...target.files]);
    target.value = "";
  };
  const onDrag = (event) => {
    const dropArea = event.target.closest(".ak-drop");
    if (!dropArea) return;
    event.preventDefault();
    event.stopPropagation();
    dropArea.classList.toggle("ak-dragover", event.type === "dragover");
    if (event.type === "drop") enqueueUploads([...event.dataTransfer.files]);
  };

  draw();
  model.on("change:content", draw);
  // anywidget removes the listener with which ipywidgets marks a view whose kernel has ended.
  const onDisconnected = () => el.classList.add("jupyter-widgets-disconnected");
  model.on("comm_live_update", onDisconnected);
  body.addEventListener("click", onClick);
  body.addEventListener("input", onInput);
  body.addEventListener("change", onFilesChosen);
  for (const type of ["dragover", "dragleave", "drop"]) body.addEventListener(type, onDrag);
  addEventListener("keydown", onKeyDown, true);
  const clock = setInterval(updateElapsed, 1000);
  const themeObserver = new MutationObserver(sendTheme);
  themeObserver.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  return () => {
    clearInterval(clock);
    removeEventListener("keydown", onKeyDown, true);
    themeObserver.disconnect();
    purgeFigures(body);
    model.off("change:content", draw);
    model.off("comm_live_update", onDisconnected);
  };
}

export default {
  initialize({ model }) {
    model.send({ action: "open_page", page: pageId });
  },
  render({ model, el }) {
    return mount(model, el);
  },
};
