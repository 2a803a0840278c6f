// Paints holes on a photograph. props.value is JSON: {"picture": address, "hole": address or null, "strokes": [...]},
// a stroke being {"points": [[x, y], ...], "width": w, "erases": bool} in shares of the picture's sides (the width: of
// its longer side), and one without points clearing everything before it. The event "input" follows each stroke.
const frame = element.querySelector('.frame'), stage = element.querySelector('.stage');
const photo = element.querySelector('img'), canvas = element.querySelector('canvas');
const slider = element.querySelector('.width'), pen = canvas.getContext('2d');
const hole = new Image();
let tool = 'brush', strokes = [], current = null, zoom = 1, cursor = null;

function read() { return props.value ? JSON.parse(props.value) : null; }

function load() {
  const value = read();
  if (!value) return;
  strokes = value.strokes;
  if (photo.getAttribute('src') !== value.picture) { photo.src = value.picture; zoom = 1; stage.style.width = ''; }
  if (hole.getAttribute('src') !== value.hole) {
    if (value.hole) hole.src = value.hole; else hole.removeAttribute('src');
  }
  draw();
}

function save() {
  props.value = JSON.stringify(Object.assign(read(), {strokes: strokes}));
  trigger('input');
}

function drawStroke(stroke) {
  const longer = Math.max(canvas.width, canvas.height), width = Math.max(1, stroke.width * longer);
  pen.globalCompositeOperation = stroke.erases ? 'destination-out' : 'source-over';
  pen.lineWidth = width;
  pen.beginPath();
  stroke.points.forEach(([x, y], index) => {
    if (index) pen.lineTo(x * canvas.width, y * canvas.height); else pen.moveTo(x * canvas.width, y * canvas.height);
  });
  if (stroke.points.length === 1) pen.lineTo(stroke.points[0][0] * canvas.width + 0.01, stroke.points[0][1] * canvas.height);
  pen.stroke();
}

function draw() {
  if (!photo.naturalWidth) return;
  if (canvas.width !== photo.naturalWidth) { canvas.width = photo.naturalWidth; canvas.height = photo.naturalHeight; }
  pen.globalCompositeOperation = 'source-over';
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.strokeStyle = 'rgb(226, 42, 70)';
  pen.lineCap = pen.lineJoin = 'round';
  if (hole.getAttribute('src') && hole.complete && hole.naturalWidth) pen.drawImage(hole, 0, 0, canvas.width, canvas.height);
  for (const stroke of current ? strokes.concat([current]) : strokes) {
    if (stroke.points.length) drawStroke(stroke); else pen.clearRect(0, 0, canvas.width, canvas.height);
  }
  if (cursor) {
    const radius = Math.max(2, slider.value / 200 * Math.max(canvas.width, canvas.height));
    pen.globalCompositeOperation = 'source-over';
    for (const [colour, width] of [['black', 4], ['white', 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width * canvas.width / canvas.clientWidth;
      pen.beginPath();
      pen.arc(cursor[0] * canvas.width, cursor[1] * canvas.height, radius, 0, 7);
      pen.stroke();
    }
  }
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((v) => Math.round(v * 1e4) / 1e4);
}

function begin(point) { current = {points: [point], width: slider.value / 100, erases: tool === 'eraser'}; draw(); }
function extend(point) { current.points.push(point.map((v) => Math.min(1.2, Math.max(-0.2, v)))); draw(); }
function end() { if (current) { strokes = strokes.concat([current]); current = null; draw(); save(); } }
function undo() { if (strokes.length) { strokes = strokes.slice(0, -1); draw(); save(); } }

canvas.addEventListener('pointerdown', (event) => {
  if (tool === 'hand' || event.button) return;
  canvas.setPointerCapture(event.pointerId);
  cursor = null;
  begin(place(event));
});
canvas.addEventListener('pointermove', (event) => {
  if (!current) return;
  for (const one of event.getCoalescedEvents ? event.getCoalescedEvents() : [event]) extend(place(one));
});
for (const name of ['pointerup', 'pointercancel']) canvas.addEventListener(name, end);

canvas.addEventListener('keydown', (event) => {
  const step = slider.value / 200 * (event.shiftKey ? 4 : 1), ratio = canvas.width / canvas.height;
  const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  if (moves[event.key]) {
    cursor = cursor || [0.5, 0.5];
    const [x, y] = moves[event.key];
    cursor = [cursor[0] + x * step * Math.min(1, 1 / ratio), cursor[1] + y * step * Math.min(1, ratio)]
      .map((v) => Math.round(Math.min(1, Math.max(0, v)) * 1e4) / 1e4);
    if (current) extend(cursor); else draw();
  } else if (event.key === ' ') {
    cursor = cursor || [0.5, 0.5];
    if (current) end(); else if (tool !== 'hand') begin(cursor);
  } else if (event.key === 'z' || event.key === 'Z') undo();
  else if (event.key === '[') slider.stepDown(3);
  else if (event.key === ']') slider.stepUp(3);
  else return;
  event.preventDefault();
  draw();
});
canvas.addEventListener('blur', () => { end(); cursor = null; draw(); });

for (const button of element.querySelectorAll('[data-tool]')) button.addEventListener('click', () => {
  tool = button.dataset.tool;
  for (const other of element.querySelectorAll('[data-tool]')) other.setAttribute('aria-pressed', other === button);
  canvas.style.touchAction = tool === 'hand' ? 'auto' : 'none';
  canvas.style.cursor = tool === 'hand' ? 'grab' : 'crosshair';
});
element.querySelector('.undo').addEventListener('click', undo);
element.querySelector('.clear').addEventListener('click', () => {
  strokes = strokes.concat([{points: [], width: 0, erases: true}]); draw(); save();
});
function enlarge(factor) {
  zoom = Math.min(8, Math.max(1, zoom * factor));
  stage.style.width = zoom === 1 ? '' : 100 * zoom + '%';
  stage.classList.toggle('zoomed', zoom > 1);
}
element.querySelector('.in').addEventListener('click', () => enlarge(1.5));
element.querySelector('.out').addEventListener('click', () => enlarge(1 / 1.5));
photo.addEventListener('load', draw);
hole.addEventListener('load', draw);
watch('value', load);
load();
