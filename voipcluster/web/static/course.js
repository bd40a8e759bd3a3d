"use strict";
/* How each side of one call hears the other over time: mean opinion score on the left axis, lost packets on the right one. */

const COURSE_COLOURS = { callee: "#2f7ff0", caller: "#e5862b" };
let courseChart = null;

/* Series and data of the first stream that was reported about; none when there is no such stream. */
function courseOf(streams) {
  const stream = streams.find((one) => (one.directions || []).some((way) => way.course && way.course.length));
  if (!stream) return null;
  const ways = stream.directions.filter((way) => way.course && way.course.length);
  const last = Math.max(...ways.flatMap((way) => way.course).map((point) => point.at));
  const number = (value) => (typeof value === "number" ? value : null);
  const tables = ways.map((way) => [
    way.course.map((point) => point.at - last),
    way.course.map((point) => number(point.mos)),
    way.course.map((point) => (typeof point.loss === "number" ? 100 * point.loss : null)),
  ]);
  const value = (u, y) => (typeof y === "number" ? y.toFixed(2) : "–");
  const series = ways.flatMap((way) => {
    const line = (label, scale, more) => ({
      label, scale, value, stroke: COURSE_COLOURS[way.to] || PLOT_COLOURS[2], spanGaps: true, points: { show: true, size: 5 }, ...more,
    });
    return [
      line(`${way.to} hears, MOS`, "mos", { width: 2 }),
      line(`${way.to} lost, %`, "loss", { width: 1, dash: [4, 4] }),
    ];
  });
  return [series, uPlot.join(tables)];
}

function newCourseChart() {
  return new Chart(byId("call-plot"), {
    scales: {
      x: { time: false, range: (u, low) => [Math.min(-30, low || 0), 0] },
      mos: { range: [1, 4.5] },
      loss: { range: (u, low, high) => [0, Math.max(5, high || 0)] },
    },
    axes: [
      Chart.past(),
      Chart.axis({ scale: "mos", size: 44, label: "MOS", labelSize: 18, labelFont: "12px system-ui, sans-serif" }),
      Chart.axis({
        scale: "loss", side: 1, size: 40, label: "lost, %", labelSize: 18, labelFont: "12px system-ui, sans-serif", grid: { show: false },
      }),
    ],
    cursor: { y: false, drag: { x: false, y: false } },
  });
}

function drawCourse(streams) {
  const course = courseOf(streams);
  byId("call-plot").hidden = !course;
  if (!course) return;
  courseChart = courseChart || newCourseChart();
  courseChart.draw(...course);
}
