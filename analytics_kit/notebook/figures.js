// Draws what stands in `data-figure` with plotly, whose script the kernel sends when this page draws its first figure.
const isFigure = (node) => node.dataset?.figure !== undefined;
const drawnFrom = new WeakMap();
const asked = new WeakMap(); // per widget: a kernel that has ended answers nobody, and must keep no other from asking

function loadPlotly(model) {
  if (globalThis.analyticsKitPlotly) return globalThis.analyticsKitPlotly;
  if (!asked.has(model)) asked.set(model, askFor(model));
  return asked.get(model);
}

function askFor(model) {
  return new Promise((found) => {
    const hear = async (told, [script] = []) => {
      if (!told?.plotly) return;
      model.off("msg:custom", hear);
      const plain = new Blob([script]).stream().pipeThrough(new DecompressionStream("gzip"));
      const text = await new Response(plain).text();
      const module = new Blob(["const module = { exports: {} };\n", text, "\nexport default module.exports;"], {
        type: "text/javascript",
      });
      const url = URL.createObjectURL(module);
      globalThis.analyticsKitPlotly ??= (await import(url)).default;
      URL.revokeObjectURL(url);
      found(globalThis.analyticsKitPlotly);
    };
    model.on("msg:custom", hear);
    model.send({ do: "plotly" });
  });
}

async function drawFigures(model, body) {
  const changed = [...body.querySelectorAll("[data-figure]")].filter((el) => drawnFrom.get(el) !== el.dataset.figure);
  if (!changed.length) return;
  for (const el of changed) drawnFrom.set(el, el.dataset.figure);
  const plotly = await loadPlotly(model);
  for (const el of changed) {
    const place = el.firstChild ?? el.appendChild(document.createElement("div"));
    const { data, layout } = JSON.parse(el.dataset.figure);
    await plotly.react(place, data, layout, { responsive: true, displaylogo: false });
  }
}

function forgetFigures(body) {
  for (const el of body.querySelectorAll("[data-figure]"))
    if (el.firstChild) globalThis.analyticsKitPlotly.purge(el.firstChild);
}

const pageTheme = () => (document.body.dataset.jpThemeLight === "false" ? "dark" : "light");
