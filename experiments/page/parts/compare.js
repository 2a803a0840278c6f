// Lays two pictures over each other; the slider says where one ends. props.value is JSON: {"before", "after"}.
const before = element.querySelector('.before'), after = element.querySelector('.after');
const slider = element.querySelector('input'), line = element.querySelector('.line');

function move() {
  before.style.clipPath = 'inset(0 ' + (100 - slider.value) + '% 0 0)';
  line.style.left = slider.value + '%';
}
function show() {
  if (!props.value) return;
  const value = JSON.parse(props.value);
  before.src = value.before;
  after.src = value.after;
  move();
}
slider.addEventListener('input', move);
watch('value', show);
show();
