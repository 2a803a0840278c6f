// Shows pictures in a row, one of which is taken. props.value is JSON: {"items": [{"name", "label", "picture"}],
// "taken": name}; a click on a picture takes it, told by the event "input".
const strip = element.querySelector('.strip');

function show() {
  const value = props.value ? JSON.parse(props.value) : {items: []};
  strip.replaceChildren(...value.items.map((item) => {
    const button = document.createElement('button'), label = document.createElement('span');
    button.type = 'button';
    button.setAttribute('aria-pressed', item.name === value.taken);
    const picture = document.createElement('img');
    picture.src = item.picture;
    picture.alt = '';
    label.textContent = item.label;
    button.append(picture, label);
    button.addEventListener('click', () => {
      props.value = JSON.stringify(Object.assign(JSON.parse(props.value), {taken: item.name}));
      show();
      trigger('input');
    });
    return button;
  }));
}
watch('value', show);
show();
