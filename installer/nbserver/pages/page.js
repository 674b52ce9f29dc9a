for (const field of document.querySelectorAll('input[data-filter]')) {
  const rows = [...document.querySelectorAll('[data-host]')].map(row => [row, (row.dataset.host + ' ' + row.textContent).toLowerCase()]);
  const shown = field.parentElement.querySelector('output');
  const apply = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const [row, text] of rows) {
      row.hidden = !words.every(word => text.includes(word));
      if (!row.hidden && row.tagName === 'TR') count++;
    }
    shown.textContent = words.length ? shown.dataset.shown.replace('{count}', count) : '';
  };
  field.parentElement.hidden = false;
  field.addEventListener('input', apply);
  apply();
}
const unfold = () => {
  const found = document.getElementById(location.hash.slice(1));
  if (found && found.tagName === 'DETAILS') found.open = true;
};
addEventListener('hashchange', unfold);
unfold();
