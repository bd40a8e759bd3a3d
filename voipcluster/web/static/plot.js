"use strict";
/* One line for each node: its workload over the last ten minutes, drawn by Chart.js. */

const PLOT_COLOURS = ["#2f7ff0", "#e5862b", "#2ca36b", "#c2479d", "#8a63d2", "#17a2b8", "#b8860b", "#d64541"];
const PLOT_SPAN = 600; // s

function nodeColour(names, name) {
  return PLOT_COLOURS[Math.max(0, names.indexOf(name)) % PLOT_COLOURS.length];
}

class Plot {
  constructor(canvas) {
    this.times = [];
    this.nodes = new Map();
    this.levels = {};
    const style = getComputedStyle(document.documentElement);
    const soft = style.getPropertyValue("--soft").trim();
    const line = style.getPropertyValue("--line").trim();
    this.soft = soft;
    this.chart = new Chart(canvas, {
      type: "line",
      data: { datasets: [] },
      options: {
        animation: false,
        parsing: false,
        normalized: true,
        responsive: true,
        maintainAspectRatio: false,
        interaction: { mode: "nearest", axis: "x", intersect: false },
        elements: { point: { radius: 0, hitRadius: 8 }, line: { borderWidth: 2, tension: 0 } },
        scales: {
          x: {
            type: "linear", min: -60, max: 0, grid: { color: line },
            ticks: { color: soft, maxTicksLimit: 11, maxRotation: 0, autoSkipPadding: 16, callback: (ago) => Plot.ago(ago) },
          },
          y: { min: 0, suggestedMax: 1, grid: { color: line }, ticks: { color: soft, stepSize: 0.25, callback: (value) => value.toFixed(2) } },
        },
        plugins: {
          legend: { labels: { color: soft, boxWidth: 14, boxHeight: 2 } },
          tooltip: { callbacks: { title: (items) => (items.length ? Plot.ago(items[0].parsed.x) : "") } },
        },
      },
    });
  }

  static ago(seconds) {
    const s = Math.round(-seconds);
    if (s <= 0) return "now";
    return s % 60 && s < 600 ? `${s} s ago` : `${Math.round(s / 60)} min ago`;
  }

  get last() {
    return this.times.length ? this.times[this.times.length - 1] : null;
  }

  /* Add what /api/history?since= says; samples that are known already are not repeated there. */
  add(history) {
    const known = this.times.length;
    this.times.push(...history.time);
    for (const name of Object.keys(history.nodes)) {
      if (!this.nodes.has(name)) this.nodes.set(name, new Array(known).fill(null));
    }
    for (const [name, values] of this.nodes) {
      values.push(...(history.nodes[name] || new Array(history.time.length).fill(null)));
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
    const span = now === null ? 60 : Math.max(60, Math.ceil((now - this.times[0]) / 60) * 60);
    const sets = names.filter((name) => this.nodes.has(name)).map((name) => ({
      label: name,
      borderColor: nodeColour(names, name),
      backgroundColor: nodeColour(names, name),
      data: this.nodes.get(name).map((y, i) => ({ x: this.times[i] - now, y: y === null ? NaN : y })),
    }));
    for (const [label, level] of levels) {
      sets.push({
        label, borderColor: this.soft, backgroundColor: this.soft, borderWidth: 1, borderDash: [5, 5],
        data: [{ x: -span, y: level }, { x: 0, y: level }],
      });
    }
    /* The sets are kept and only filled anew, so that a line which was switched off in the legend stays off. */
    const kept = new Map(this.chart.data.datasets.map((set) => [set.label, set]));
    this.chart.data.datasets = sets.map((set) => Object.assign(kept.get(set.label) || {}, set));
    this.chart.options.scales.x.min = -Math.min(span, PLOT_SPAN);
    this.chart.options.scales.x.ticks.stepSize = span > 120 ? 60 : 10;
    this.chart.update("none");
  }
}
