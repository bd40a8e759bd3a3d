"use strict";
/* One line for each node: its workload over the last ten minutes. uPlot draws it. */

const PLOT_COLOURS = ["#2f7ff0", "#e5862b", "#2ca36b", "#c2479d", "#8a63d2", "#17a2b8", "#b8860b", "#d64541"];
const PLOT_SPAN = 600; // s
const PLOT_STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600]; // s between two marks of an axis of time

function nodeColour(names, name) {
  return PLOT_COLOURS[Math.max(0, names.indexOf(name)) % PLOT_COLOURS.length];
}

function ago(seconds) {
  const s = Math.round(-seconds);
  if (s <= 0) return "now";
  return s % 60 && s < 600 ? `${s} s ago` : `${Math.round(s / 60)} min ago`;
}

const ofPage = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/*
 * A uPlot that fills its box, in the colours of the page, light or dark. x is seconds, 0 now and earlier ones below it; series
 * that were switched off in the legend stay off when others come or go.
 */
class Chart {
  constructor(box, options) {
    this.box = box;
    this.options = options;
    this.uplot = null;
    this.key = "";
    new ResizeObserver(() => this.fit()).observe(box);
  }

  static axis(more) {
    return {
      stroke: () => ofPage("--soft"), font: "12px system-ui, sans-serif",
      grid: { stroke: () => ofPage("--line"), width: 1 }, ticks: { show: false }, ...more,
    };
  }

  static past(more) {
    return Chart.axis({
      incrs: PLOT_STEPS, space: 64, size: 30, values: (u, marks) => marks.map((mark) => (mark > 0 ? "" : ago(mark))), ...more,
    });
  }

  /* Series as uPlot has them, without that of x; data: x and one list for each. */
  draw(series, data) {
    const key = JSON.stringify(series.map((one) => [one.label, one.stroke]));
    if (key !== this.key) {
      const off = new Set(this.uplot ? this.uplot.series.filter((one) => !one.show).map((one) => one.label) : []);
      if (this.uplot) this.uplot.destroy();
      const all = [{ label: "at", value: (u, x) => (typeof x === "number" ? ago(x) : "–") }, ...series.map((one) => ({ show: !off.has(one.label), ...one }))];
      this.uplot = new uPlot({ ...this.options, ...this.size(), series: all }, data, this.box);
      this.key = key;
      this.fit(); /* the legend takes a part of the height, which is known only now */
    } else {
      this.uplot.setData(data);
    }
  }

  size() {
    const legend = this.uplot ? this.uplot.root.querySelector(".u-legend").offsetHeight : 0;
    return { width: Math.max(120, this.box.clientWidth), height: Math.max(100, this.box.clientHeight - legend) };
  }

  fit() {
    if (!this.uplot || !this.box.clientWidth) return;
    const { width, height } = this.size();
    if (width !== this.uplot.width || height !== this.uplot.height) this.uplot.setSize({ width, height });
  }
}

class Plot {
  constructor(box) {
    this.times = [];
    this.nodes = new Map();
    this.span = 60;
    this.chart = new Chart(box, {
      scales: {
        x: { time: false, range: () => [-this.span, 0] },
        y: { range: (u, low, high) => [0, Math.max(1, Math.ceil((high || 0) * 10) / 10)] },
      },
      axes: [Chart.past(), Chart.axis({ size: 44, space: 36, values: (u, marks) => marks.map((mark) => mark.toFixed(2)) })],
      cursor: { y: false, drag: { x: false, y: false } },
    });
  }

  get last() {
    return this.times.length ? this.times[this.times.length - 1] : null;
  }

  /* Add what /api/history?since= says. Of two answers to the same question the second one has nothing that is new. */
  add(history) {
    const known = this.times.length, last = this.last;
    const fresh = last === null ? 0 : history.time.filter((time) => time <= last).length;
    const times = history.time.slice(fresh);
    this.times.push(...times);
    for (const name of Object.keys(history.nodes)) {
      if (!this.nodes.has(name)) this.nodes.set(name, new Array(known).fill(null));
    }
    for (const [name, values] of this.nodes) {
      values.push(...(history.nodes[name] ? history.nodes[name].slice(fresh) : new Array(times.length).fill(null)));
    }
    const first = this.times.findIndex((time) => time > this.last - PLOT_SPAN);
    if (first > 0) {
      this.times.splice(0, first);
      for (const [name, values] of this.nodes) {
        values.splice(0, first);
        if (values.every((value) => value === null)) this.nodes.delete(name);
      }
    }
  }

  /* Forget everything, as after the node was started anew. */
  clear() {
    this.times = [];
    this.nodes.clear();
  }

  draw(names, levels) {
    const now = this.last;
    if (now === null) return;
    this.span = Math.min(PLOT_SPAN, Math.max(60, Math.ceil((now - this.times[0]) / 60) * 60));
    const shown = names.filter((name) => this.nodes.has(name));
    const value = (u, y) => (typeof y === "number" ? y.toFixed(2) : "–");
    /* a level goes across the whole plot, also where nothing was measured yet */
    const x = [-this.span, ...this.times.map((time) => time - now)];
    const series = shown.map((label) => ({ label, stroke: nodeColour(names, label), width: 2, points: { show: false }, value }));
    const data = shown.map((name) => [null, ...this.nodes.get(name)]);
    for (const [label, level] of levels) {
      series.push({ label, stroke: () => ofPage("--soft"), width: 1, dash: [5, 5], points: { show: false }, value });
      data.push(new Array(x.length).fill(level));
    }
    this.chart.draw(series, [x, ...data]);
  }
}
