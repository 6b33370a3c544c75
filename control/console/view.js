// Elements, numbers and small drawings. Text from the daemon becomes text nodes only.

export const byId = id => document.getElementById(id);

/** An element; attributes by name, children that are elements or texts. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter(child => child !== null));
  return element;
}

/** Changes the text only when it differs: a screen reader is not told what stays. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, visible) {
  element.hidden = !visible;
}

export function count(number) {
  return Math.round(number).toLocaleString("en");
}

export function rate(number) {
  return number > 0 && number < 10 ? number.toFixed(1) : count(number);
}

export function duration(seconds) {
  if (seconds === null) return "never";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 60;
const HEIGHT = 16;
const POINTS = 60;

function svg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** The last minute as a line; add() takes one more value. */
export class Spark {
  constructor(kind = "") {
    this.values = [];
    this.path = svg("path", {});
    this.element = svg("svg", {
      class: `spark ${kind}`, width: WIDTH, height: HEIGHT, viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      "aria-hidden": "true",
    });
    this.element.append(this.path);
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > POINTS) this.values.shift();
    const top = Math.max(...this.values, 1);
    const step = WIDTH / (POINTS - 1);
    const first = POINTS - this.values.length;
    const points = this.values.map((one, i) =>
      `${((first + i) * step).toFixed(1)} ${(HEIGHT - 1 - one / top * (HEIGHT - 2)).toFixed(1)}`);
    this.path.setAttribute("d", `M${points.join("L")}`);
  }
}

/** An arrow to the right or to the left, as wide as there is room. */
export function arrow(right) {
  const element = svg("svg", {viewBox: "0 0 100 16", preserveAspectRatio: "none",
                              "aria-hidden": "true"});
  element.append(
    svg("line", {x1: right ? 0 : 8, y1: 8, x2: right ? 92 : 100, y2: 8}),
    svg("path", {d: right ? "M100 8 91 2v12z" : "M0 8 9 2v12z"}));
  return element;
}

/** Rows that stay the same elements while their key is there: focus and selection are kept. */
export class Rows {
  constructor(body, make) {
    this.body = body;
    this.make = make;  // key -> {element, update(data)}
    this.byKey = new Map();
  }

  update(list, keyOf) {
    const seen = new Set();
    list.forEach((data, index) => {
      const key = keyOf(data);
      seen.add(key);
      if (!this.byKey.has(key)) this.byKey.set(key, this.make(key));
      const row = this.byKey.get(key);
      row.update(data);
      if (this.body.children[index] !== row.element) {
        this.body.insertBefore(row.element, this.body.children[index] ?? null);
      }
    });
    for (const [key, row] of this.byKey) {
      if (seen.has(key)) continue;
      row.element.remove();
      this.byKey.delete(key);
    }
  }

  clear() {
    this.update([], key => key);
  }
}

/** A counter's growth a second, from one look to the next. */
export class Rate {
  constructor() {
    this.last = null;
  }

  /** `total` at `at` (milliseconds); 0 at the first look and after a restart. */
  of(total, at) {
    const before = this.last;
    this.last = {total, at};
    if (before === null || total < before.total || at <= before.at) return 0;
    return (total - before.total) * 1000 / (at - before.at);
  }
}
