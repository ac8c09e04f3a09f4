// Refreshes the jobs, sends forms without leaving the page, and uploads files with their progress.
const SHORT_PAUSE_MS = 1000;
const LONG_PAUSE_MS = 30_000;
const byId = (id) => document.getElementById(id);
const note = byId("note");
const announcement = byId("announcement");
const parse = (html) => new DOMParser().parseFromString(html, "text/html");
// The HTML each part was last rendered from: the page itself changes it, as when <details> open.
const renderedParts = new Map();
const rememberParts = (root) =>
  root.querySelectorAll("[data-part]").forEach((part) => renderedParts.set(part.id, part.innerHTML));

function update(fresh) {
  const list = byId("jobs");
  const focused = document.activeElement;
  const focusedCard = focused.closest("#jobs > li");
  const freshCards = [...fresh.getElementById("jobs").children];
  const freshIds = new Set(freshCards.map((card) => card.id));
  for (const card of [...list.children]) if (!freshIds.has(card.id)) card.remove();
  const changes = [];
  freshCards.forEach((freshCard, index) => {
    const card = byId(freshCard.id);
    if (card && freshCard.dataset.status !== card.dataset.status) {
      changes.push(`${freshCard.dataset.name}: ${freshCard.dataset.status}`);
      card.dataset.status = freshCard.dataset.status;
      card.className = freshCard.className;
    }
    if (list.children[index] === card && card) return;
    if (!card) rememberParts(freshCard);
    list.insertBefore(card ?? document.adoptNode(freshCard), list.children[index] ?? null);
  });
  for (const part of fresh.querySelectorAll("[data-part]")) {
    if (renderedParts.get(part.id) === part.innerHTML) continue;
    renderedParts.set(part.id, part.innerHTML);
    byId(part.id).replaceChildren(...part.cloneNode(true).childNodes);
  }
  if (changes.length) announcement.textContent = changes.join(", ");
  if (!focused.isConnected) (focusedCard?.isConnected ? focusedCard : list).focus();
}

let lastRequest = 0;
let pause_ms = SHORT_PAUSE_MS;
let timer;
let isUnreachable = false;

async function refresh() {
  clearTimeout(timer);
  const request = ++lastRequest; // responses to earlier requests are ignored
  const page = new URLSearchParams(location.search).get("page") ?? "1";
  try {
    const response = await fetch(`./?${new URLSearchParams({ part: "live", page })}`);
    if (request !== lastRequest) return;
    if (response.status === 401) return location.replace("./");
    if (!response.ok) throw new Error(response.status);
    update(parse(await response.text()));
    if (isUnreachable) note.textContent = "";
    isUnreachable = false;
    pause_ms = document.hidden ? Math.min(2 * pause_ms, LONG_PAUSE_MS) : SHORT_PAUSE_MS;
  } catch {
    if (request !== lastRequest) return;
    if (!isUnreachable) note.textContent = "The server can't be reached now. The jobs below may be out of date; trying again …";
    isUnreachable = true;
    pause_ms = Math.min(2 * pause_ms, LONG_PAUSE_MS);
  }
  timer = setTimeout(refresh, pause_ms);
}

function refreshSoon() {
  pause_ms = SHORT_PAUSE_MS;
  refresh();
}

async function sendForm(form, button) {
  if (button?.hasAttribute("aria-busy")) return;
  button?.setAttribute("aria-busy", "true");
  try {
    const response = await fetch("./", { method: "POST", body: new URLSearchParams(new FormData(form, button)) });
    if (response.status === 401) return location.replace("./");
    const page = parse(await response.text());
    note.textContent = page.getElementById("note")?.textContent ?? "The server failed to handle this request.";
    isUnreachable = false;
  } catch {
    note.textContent = "The server can't be reached now, and nothing was done.";
  }
  button?.removeAttribute("aria-busy");
  refreshSoon();
}

const upload = byId("upload");
const file = byId("file");
const studyId = byId("study-id");
const uploadProgress = byId("upload-progress");
const [startButton, stopButton] = [upload.querySelector(".primary"), uploadProgress.querySelector("button")];

function idFromName(name) {
  return name.replace(/\.zip$/iu, "").replace(/[^A-Za-z0-9_.-]+/gu, "-").replace(/^[^A-Za-z0-9]+/u, "").slice(0, 128);
}

function suggestId() {
  if (file.files.length) studyId.value = idFromName(file.files[0].name);
}

function handleDrag(event) {
  event.preventDefault();
  upload.classList.toggle("over", event.type === "dragover");
  if (event.type !== "drop" || uploadProgress.hidden === false) return;
  if (event.dataTransfer.files.length !== 1) note.textContent = "Drop one ZIP at a time.";
  else {
    file.files = event.dataTransfer.files;
    suggestId();
    studyId.focus();
  }
}

function uploadFile() {
  const [zip] = file.files;
  const limit_gb = Number(upload.dataset.limitGb);
  if (zip.size > limit_gb * 1e9) {
    note.textContent = `At most ${limit_gb} GB can be uploaded.`;
    return;
  }
  const request = new XMLHttpRequest(); // fetch does not report the progress of an upload
  const [label, bar, percent] = uploadProgress.querySelectorAll("span, progress");
  const showProgress = (fraction) => {
    bar.value = 100 * fraction;
    percent.textContent = `${Math.floor(100 * fraction)}%`;
  };
  const finish = (message) => {
    note.textContent = message;
    const hadFocus = uploadProgress.contains(document.activeElement);
    uploadProgress.hidden = true;
    startButton.hidden = false;
    if (hadFocus) startButton.focus();
    refreshSoon();
  };
  request.upload.onprogress = ({ loaded, total }) => showProgress(loaded / Math.max(total, 1));
  request.onload = () => {
    if (request.status === 401) return location.replace("./");
    if (request.status < 300) {
      finish(`${zip.name} was uploaded as ${studyId.value}.`);
      upload.reset();
      return;
    }
    let error = {};
    try {
      error = JSON.parse(request.responseText);
    } catch {} // the response of a proxy before the server
    const { message = "The server or a proxy before it refused the file.", hint = "" } = error;
    finish(`${zip.name} was not uploaded. ${message} ${hint}`.trim());
  };
  request.onerror = () => finish(`${zip.name} was not uploaded: the connection broke off.`);
  request.onabort = () => finish(`The upload of ${zip.name} was stopped.`);
  request.open("POST", `${encodeURIComponent(studyId.value)}/zip-data`);
  request.setRequestHeader("Content-Type", "application/zip");
  request.setRequestHeader("X-CSRF-Token", upload.dataset.csrfToken);
  stopButton.onclick = () => request.abort();
  label.textContent = `Uploading ${zip.name}`;
  note.textContent = "";
  showProgress(0);
  startButton.hidden = true;
  uploadProgress.hidden = false;
  stopButton.focus();
  request.send(zip);
}

document.addEventListener("submit", (event) => {
  const { target: form, submitter } = event;
  if (form.method !== "post" && form !== upload) return;
  if ("plain" in form.dataset) return;
  event.preventDefault();
  if (form !== upload) sendForm(form, submitter);
  else if (uploadProgress.hidden) uploadFile();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refreshSoon();
});
file.addEventListener("change", suggestId);
suggestId(); // a file may have been chosen before this script ran, or before a reload
for (const type of ["dragover", "dragleave", "drop"]) upload.addEventListener(type, handleDrag);
upload.hidden = false;
byId("without-script").hidden = true;
rememberParts(document);
timer = setTimeout(refresh, pause_ms);
