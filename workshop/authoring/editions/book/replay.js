// A model as the live graph expects it, with a recording in place of a kernel.
const { told, run, ...shown } = recording;
const values = { ...shown, tasks: {}, run: "" };
const listeners = {};
const model = {
  get: (name) => values[name],
  set(name, value) {
    values[name] = value;
    listeners[`change:${name}`]?.forEach((listener) => listener());
  },
  on: (event, listener) => (listeners[event] ??= []).push(listener),
};
const tell = (message) => listeners["msg:custom"].forEach((listener) => listener(message));
const end = () => model.set("run", run);

const place = document.querySelector(".replay");
const button = place.querySelector("button");
const graph = place.querySelector(".graph");
graph.replaceChildren();
widget.initialize({ model });
widget.render({ model, el: graph });
told.forEach(tell); // what the run was at its end, until somebody wants to see how it came
end();

const SLOWER = 4; // the run takes little more than a second
let waiting = [];
button.hidden = false;
button.addEventListener("click", () => {
  waiting.forEach(clearTimeout);
  model.set("tasks", {});
  model.set("run", "running");
  waiting = told.map((message) => setTimeout(tell, 1000 * SLOWER * message.at, message));
  waiting.push(setTimeout(end, 1000 * SLOWER * told.at(-1).at));
});
