// Draw the figures in `data-figure` with plotly, whose script the kernel sends when the page draws its first figure.
const isFigure = (node) => node.dataset?.figure !== undefined;
const drawnFrom = new WeakMap();
const requests = new WeakMap(); // per widget: one whose kernel has ended gets no reply and must not block the others

function loadPlotly(model) {
  if (globalThis.analyticsKitPlotly) return globalThis.analyticsKitPlotly;
  if (!requests.has(model)) requests.set(model, requestPlotly(model));
  return requests.get(model);
}

function requestPlotly(model) {
  return new Promise((resolve) => {
    const onMessage = async (message, [script] = []) => {
      if (!message?.plotly) return;
      model.off("msg:custom", onMessage);
      const unzipped = new Blob([script]).stream().pipeThrough(new DecompressionStream("gzip"));
      const text = await new Response(unzipped).text();
      const module = new Blob(["const module = { exports: {} };\n", text, "\nexport default module.exports;"], {
        type: "text/javascript",
      });
      const url = URL.createObjectURL(module);
      globalThis.analyticsKitPlotly ??= (await import(url)).default;
      URL.revokeObjectURL(url);
      resolve(globalThis.analyticsKitPlotly);
    };
    model.on("msg:custom", onMessage);
    model.send({ action: "plotly" });
  });
}

async function drawFigures(model, body) {
  const changed = [...body.querySelectorAll("[data-figure]")].filter((el) => drawnFrom.get(el) !== el.dataset.figure);
  if (!changed.length) return;
  for (const el of changed) drawnFrom.set(el, el.dataset.figure);
  const plotly = await loadPlotly(model);
  for (const el of changed) {
    const container = el.firstChild ?? el.appendChild(document.createElement("div"));
    const { data, layout } = JSON.parse(el.dataset.figure);
    await plotly.react(container, data, layout, { responsive: true, displaylogo: false });
  }
}

function purgeFigures(body) {
  for (const el of body.querySelectorAll("[data-figure]"))
    if (el.firstChild) globalThis.analyticsKitPlotly.purge(el.firstChild);
}

const pageTheme = () => (document.body.dataset.jpThemeLight === "false" ? "dark" : "light");
