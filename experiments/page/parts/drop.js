// Sends a file to the server as it is. props.value is JSON: {"to": address, "words": invitation}; afterwards
// {"to", "words", "name", "file"} of what arrived, told by the event "upload".
const zone = element.querySelector('.drop');
const input = element.querySelector('input');
const words = element.querySelector('.invitation');
const problem = element.querySelector('.problem');

function show() { words.textContent = JSON.parse(props.value).words; }

async function send(file) {
  const value = JSON.parse(props.value);
  problem.textContent = '';
  zone.classList.add('busy');
  words.textContent = 'Reading ' + file.name + ' …';
  try {
    const response = await fetch(value.to + '?name=' + encodeURIComponent(file.name), {method: 'POST', body: file});
    const answer = await response.json();
    if (answer.error) throw new Error(answer.error);
    props.value = JSON.stringify({to: value.to, words: value.words, name: answer.name, file: answer.file});
    trigger('upload');
  } catch (error) {
    problem.textContent = error instanceof TypeError || error instanceof SyntaxError
      ? 'The program does not answer; is it still running?' : error.message;
  }
  zone.classList.remove('busy');
  input.value = '';
  show();
}

input.addEventListener('change', () => { if (input.files.length) send(input.files[0]); });
for (const name of ['dragover', 'dragenter'])
  zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add('over'); });
zone.addEventListener('dragleave', () => zone.classList.remove('over'));
zone.addEventListener('drop', (event) => {
  event.preventDefault();
  zone.classList.remove('over');
  if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
});
watch('value', show);
show();
