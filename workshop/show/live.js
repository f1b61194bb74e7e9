// The live graph of a DAG. All that it shows is in the model already: the kernel is busy while a
// DAG runs, and cannot be asked. Text from outside goes in as text, never as HTML.

function initialize({ model }) {
  // Set here and never saved: the kernel sends what changed alone, and all of it at the end.
  model.on("msg:custom", ({ task, known }) => {
    const tasks = model.get("tasks");
    model.set("tasks", { ...tasks, [task]: { ...tasks[task], ...known } });
  });
}

function known(model, box) {
  const tasks = model.get("tasks");
  const inside = model.get("boxes")[box] ?? [box];
  const states = inside.map((task) => tasks[task]?.state ?? null); // null: no state yet
  const state = model.get("order").find((one) => states.includes(one));
  return { inside, tasks, state };
}

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function render({ model, el }) {
  el.classList.add("gcp-spy-live");
  const head = element("div", undefined, { class: "head" });
  const said = element("span", "", { role: "status" });
  const fold = element("button", "", { type: "button" });
  const stage = element("div", undefined, { class: "stage" });
  const panel = element("section", undefined, { class: "panel", "aria-live": "polite" });
  head.append(said, fold);
  el.append(head, stage, panel);
  let chosen = null;
  let folded = "folded" in model.get("graphs");

  function draw() {
    const graphs = model.get("graphs");
    fold.hidden = !("folded" in graphs);
    fold.textContent = folded ? "Unfold the groups" : "Fold the groups";
    stage.innerHTML = (folded && graphs.folded) || graphs.unfolded; // made by Graphviz from escaped names
    const svg = stage.querySelector("svg");
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", "Graph of the DAG; choose a task to see more of it");
    const boxes = stage.querySelectorAll("g.node");
    svg.classList.toggle("large", boxes.length > 30);
    for (const node of boxes) {
      const box = node.querySelector("title").textContent;
      node.setAttribute("tabindex", "0");
      node.setAttribute("role", "button");
      node.addEventListener("click", () => choose(box));
      node.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          event.stopPropagation(); // else the notebook takes the key
          choose(box);
        }
      });
    }
    paint();
  }

  function paint() {
    const colors = model.get("colors");
    const run = model.get("run");
    said.textContent = run ? `The run: ${run}` : "No run yet: run the DAG in the next cell";
    for (const node of stage.querySelectorAll("g.node")) {
      const box = node.querySelector("title").textContent;
      const { state, inside, tasks } = known(model, box);
      const shape = node.querySelector("path, polygon");
      const color = colors[state] ?? "#8c8c8c";
      shape.style.stroke = color;
      shape.style.fill = color;
      node.dataset.state = state ?? "";
      const lines = node.querySelectorAll("text");
      const done = inside.filter((task) => tasks[task]?.state === state).length;
      const count = inside.length > 1 && state ? `${done} of ${inside.length} ` : "";
      const last = lines[lines.length - 1]; // its width was kept for the longest state
      last.textContent = count + (state ?? "");
      node.setAttribute("aria-label", `${box}, ${state ?? "no state yet"}`);
    }
    tell();
  }

  function choose(box) {
    chosen = box === chosen ? null : box;
    paint();
  }

  function tell() {
    panel.replaceChildren();
    panel.hidden = chosen === null;
    if (chosen === null) return;
    const { inside, tasks } = known(model, chosen);
    panel.append(element("h4", chosen));
    for (const name of inside) {
      const task = tasks[name] ?? {};
      const facts = [task.state ?? "no state yet"];
      if (task.tries) facts.push(`try ${task.tries}`);
      if (task.seconds !== undefined) facts.push(`${task.seconds} s`);
      panel.append(element("p", (inside.length > 1 ? `${name}: ` : "") + facts.join(" · ")));
      if (inside.length > 1) continue;
      for (const [title, lines] of [["Log", task.log], ["XCom", task.xcom]]) {
        if (!lines?.length) continue;
        panel.append(element("h5", title), element("pre", lines.join("\n")));
      }
    }
  }

  fold.addEventListener("click", () => {
    folded = !folded;
    draw();
  });
  model.on("change:graphs", draw);
  model.on("change:tasks", paint);
  model.on("change:run", paint);
  draw();
}

export default { initialize, render };
