// Keeps the jobs up to date, sends the forms without leaving the page, and uploads files with their progress.
const SOON_MS = 1000;
const LATE_MS = 30_000;
const by = (id) => document.getElementById(id);
const note = by("note");
const said = by("said");
const parse = (html) => new DOMParser().parseFromString(html, "text/html");
const drawn = new Map(); // what was drawn of each part, since the page itself changes: details open
const remember = (root) => root.querySelectorAll("[data-part]").forEach((part) => drawn.set(part.id, part.innerHTML));

function show(fresh) {
  const list = by("jobs");
  const focused = document.activeElement;
  const card = focused.closest("#jobs > li");
  const wanted = [...fresh.getElementById("jobs").children];
  const ids = new Set(wanted.map((item) => item.id));
  for (const item of [...list.children]) if (!ids.has(item.id)) item.remove();
  const news = [];
  wanted.forEach((next, at) => {
    const known = by(next.id);
    if (known && next.dataset.status !== known.dataset.status) {
      news.push(`${next.dataset.name}: ${next.dataset.status}`);
      known.dataset.status = next.dataset.status;
      known.className = next.className;
    }
    if (list.children[at] === known && known) return;
    if (!known) remember(next);
    list.insertBefore(known ?? document.adoptNode(next), list.children[at] ?? null);
  });
  for (const part of fresh.querySelectorAll("[data-part]")) {
    if (drawn.get(part.id) === part.innerHTML) continue;
    drawn.set(part.id, part.innerHTML);
    by(part.id).replaceChildren(...part.cloneNode(true).childNodes);
  }
  if (news.length) said.textContent = news.join(", ");
  if (!focused.isConnected) (card?.isConnected ? card : list).focus();
}

let turn = 0;
let pause_ms = SOON_MS;
let waiting;
let isAway = false;

async function look() {
  clearTimeout(waiting);
  const mine = ++turn;
  const page = new URLSearchParams(location.search).get("page") ?? "1";
  try {
    const answer = await fetch(`./?${new URLSearchParams({ part: "live", page })}`);
    if (mine !== turn) return;
    if (answer.status === 401) return location.replace("./");
    if (!answer.ok) throw new Error(answer.status);
    show(parse(await answer.text()));
    if (isAway) note.textContent = "";
    isAway = false;
    pause_ms = document.hidden ? Math.min(2 * pause_ms, LATE_MS) : SOON_MS;
  } catch {
    if (mine !== turn) return;
    if (!isAway) note.textContent = "The server can't be reached now. What was known last is shown; trying again …";
    isAway = true;
    pause_ms = Math.min(2 * pause_ms, LATE_MS);
  }
  waiting = setTimeout(look, pause_ms);
}

function lookSoon() {
  pause_ms = SOON_MS;
  look();
}

async function send(form, button) {
  if (button?.hasAttribute("aria-busy")) return;
  button?.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch("./", { method: "POST", body: new URLSearchParams(new FormData(form, button)) });
    if (answer.status === 401) return location.replace("./");
    note.textContent = parse(await answer.text()).getElementById("note")?.textContent ?? "The server failed at this.";
    isAway = false;
  } catch {
    note.textContent = "The server can't be reached now, and nothing was done.";
  }
  button?.removeAttribute("aria-busy");
  lookSoon();
}

const upload = by("upload");
const file = by("file");
const studyId = by("study-id");
const sending = by("sending");
const [start, stop] = [upload.querySelector(".main"), sending.querySelector("button")];

function idOf(name) {
  return name.replace(/\.zip$/iu, "").replace(/[^A-Za-z0-9_.-]+/gu, "-").replace(/^[^A-Za-z0-9]+/u, "").slice(0, 128);
}

function pick() {
  if (file.files.length) studyId.value = idOf(file.files[0].name);
}

function drop(event) {
  event.preventDefault();
  upload.classList.toggle("over", event.type === "dragover");
  if (event.type !== "drop" || sending.hidden === false) return;
  if (event.dataTransfer.files.length !== 1) note.textContent = "Drop one ZIP at a time.";
  else {
    file.files = event.dataTransfer.files;
    pick();
    studyId.focus();
  }
}

function sendFile() {
  const [chosen] = file.files;
  const limit_gb = Number(upload.dataset.limitGb);
  if (chosen.size > limit_gb * 1e9) {
    note.textContent = `At most ${limit_gb} GB can be uploaded.`;
    return;
  }
  const request = new XMLHttpRequest(); // fetch tells nothing of how much was sent
  const [name, bar, percent] = sending.querySelectorAll("span, progress");
  const tell = (fraction) => {
    bar.value = 100 * fraction;
    percent.textContent = `${Math.floor(100 * fraction)}%`;
  };
  const end = (words) => {
    note.textContent = words;
    const focused = sending.contains(document.activeElement);
    sending.hidden = true;
    start.hidden = false;
    if (focused) start.focus();
    lookSoon();
  };
  request.upload.onprogress = ({ loaded, total }) => tell(loaded / Math.max(total, 1));
  request.onload = () => {
    if (request.status === 401) return location.replace("./");
    if (request.status < 300) {
      end(`${chosen.name} was uploaded as ${studyId.value}.`);
      upload.reset();
      return;
    }
    let told = {};
    try {
      told = JSON.parse(request.responseText);
    } catch {} // of a proxy on the way
    const { message = "The server or a proxy before it refused the file.", hint = "" } = told;
    end(`${chosen.name} was not uploaded. ${message} ${hint}`.trim());
  };
  request.onerror = () => end(`${chosen.name} was not uploaded: the connection broke off.`);
  request.onabort = () => end(`The upload of ${chosen.name} was stopped.`);
  request.open("POST", `${encodeURIComponent(studyId.value)}/zip-data`);
  request.setRequestHeader("Content-Type", "application/zip");
  request.setRequestHeader("X-CSRF-Token", upload.dataset.proof);
  stop.onclick = () => request.abort();
  name.textContent = `Uploading ${chosen.name}`;
  note.textContent = "";
  tell(0);
  start.hidden = true;
  sending.hidden = false;
  stop.focus();
  request.send(chosen);
}

document.addEventListener("submit", (event) => {
  const { target: form, submitter } = event;
  if (form.method !== "post" && form !== upload) return;
  if ("plain" in form.dataset) return;
  event.preventDefault();
  if (form !== upload) send(form, submitter);
  else if (sending.hidden) sendFile();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) lookSoon();
});
file.addEventListener("change", pick);
pick(); // a file may have been chosen before this ran, or before a reload
for (const kind of ["dragover", "dragleave", "drop"]) upload.addEventListener(kind, drop);
upload.hidden = false;
by("without-script").hidden = true;
remember(document);
waiting = setTimeout(look, pause_ms);
