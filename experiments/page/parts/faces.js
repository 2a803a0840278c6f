// Shows the faces of a photograph. props.value is JSON: {"picture": address, "squares": [four corners each], "chosen":
// [numbers], "eyes": [[x, y], ...], "pointing": bool}, places in shares of the picture's sides. A click on a square
// takes it or leaves it; while pointing, a click on the picture is an eye. The event "input" follows.
const stage = element.querySelector('.stage'), photo = element.querySelector('img');
const marks = element.querySelector('.marks');
const SVG = 'http://www.w3.org/2000/svg';
let cursor = null;

function read() { return props.value ? JSON.parse(props.value) : null; }
function write(changes) { props.value = JSON.stringify(Object.assign(read(), changes)); show(); trigger('input'); }

function show() {
  const value = read();
  if (!value) return;
  if (photo.getAttribute('src') !== value.picture) photo.src = value.picture;
  stage.classList.toggle('pointing', value.pointing);
  if (value.pointing) stage.setAttribute('tabindex', '0'); else stage.removeAttribute('tabindex');
  stage.setAttribute('aria-label', value.pointing
    ? 'Click the centres of both eyes; or move with the arrow keys and set an eye with Enter.' : 'Faces');
  const focused = marks.contains(document.activeElement) ? document.activeElement.dataset.face : null;
  marks.replaceChildren();
  const drawing = document.createElementNS(SVG, 'svg');
  drawing.setAttribute('viewBox', '0 0 1 1');
  drawing.setAttribute('preserveAspectRatio', 'none');
  marks.append(drawing);
  value.squares.forEach((corners, index) => {
    const isChosen = value.eyes.length > 0 || value.chosen.includes(index);
    const shape = document.createElementNS(SVG, 'polygon');
    shape.setAttribute('points', corners.map((corner) => corner.join(',')).join(' '));
    shape.setAttribute('class', isChosen ? 'chosen' : 'left');
    drawing.append(shape);
    const xs = corners.map((corner) => corner[0]), ys = corners.map((corner) => corner[1]);
    const button = document.createElement('button');
    button.type = 'button';
    const badge = document.createElement('span');
    badge.textContent = (isChosen ? '✓ ' : '○ ') + (index + 1);
    button.append(badge);
    button.style.left = 100 * Math.max(0, Math.min(...xs)) + '%';
    button.style.top = 100 * Math.max(0, Math.min(...ys)) + '%';
    button.style.right = 100 * Math.max(0, 1 - Math.max(...xs)) + '%';
    button.style.bottom = 100 * Math.max(0, 1 - Math.max(...ys)) + '%';
    button.setAttribute('aria-pressed', isChosen);
    button.setAttribute('aria-label', 'Face ' + (index + 1) + (isChosen ? ', will be repaired' : ', will be left alone'));
    button.disabled = value.pointing;
    button.addEventListener('click', () => {
      const chosen = read().chosen;
      write({chosen: chosen.includes(index) ? chosen.filter((one) => one !== index) : chosen.concat([index]).sort((a, b) => a - b)});
    });
    marks.append(button);
    button.dataset.face = index;
    if (focused === String(index)) button.focus();
  });
  for (const [x, y] of value.eyes.concat(cursor && value.pointing ? [cursor] : [])) {
    const dot = document.createElement('span');
    dot.className = [x, y] + '' === cursor + '' ? 'eye cursor' : 'eye';
    dot.style.left = 100 * x + '%';
    dot.style.top = 100 * y + '%';
    marks.append(dot);
  }
}

function point(x, y) { write({eyes: read().eyes.concat([[x, y].map((v) => Math.round(v * 1e5) / 1e5)])}); }

stage.addEventListener('click', (event) => {
  const value = read();
  if (!value || !value.pointing) return;
  const box = photo.getBoundingClientRect();
  point((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
});
stage.addEventListener('keydown', (event) => {
  if (!read().pointing) return;
  const step = event.shiftKey ? 0.05 : 0.005;
  const moves = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step]};
  if (moves[event.key]) {
    cursor = cursor || [0.5, 0.5];
    cursor = cursor.map((v, axis) => Math.min(1, Math.max(0, v + moves[event.key][axis])));
    show();
  } else if (event.key === 'Enter' && cursor) point(cursor[0], cursor[1]);
  else return;
  event.preventDefault();
});
watch('value', show);
show();
