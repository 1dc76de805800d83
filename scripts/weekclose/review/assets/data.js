// The data: unpacked once, then read by column.

async function unpack(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = JSON.parse(await new Response(stream).text());
  for (const [name, part] of Object.entries(data)) {
    if (!part?.columns) continue;
    data[name] = opened(part);
    derive(data[name].columns);
  }
  if (data.lines?.columns.event_at) data.lines.columns.event_at = added(data.lines.columns.event_at);
  return data;
}

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let position = 0; position < binary.length; position += 1) bytes[position] = binary.charCodeAt(position);
  return bytes;
}

/** Every column as a plain list: what was coded by value or by difference is written out. */
function opened(part) {
  const columns = {};
  let length = 0;
  for (const [name, column] of Object.entries(part.columns)) {
    columns[name] = listed(column);
    length = Math.max(length, columns[name]?.length || 0);
  }
  return { ...part, columns, length };
}

function listed(column) {
  if (!column) return null;
  if (Array.isArray(column)) return column;
  if (column.values) return column.codes.map((code) => (code === null ? null : column.values[code]));
  if (column.repeat !== undefined) return new Array(column.repeat).fill(column.value);
  return column;
}

function added(differences) {
  let value = 0;
  return differences.map((difference) => (value += difference));
}

/** What follows from other columns is not carried along; `exceptions` are the rows where it does not. */
function derive(columns) {
  for (const [name, column] of Object.entries(columns)) {
    if (!column?.sum) continue;
    const parts = Object.entries(column.sum).map(([part, factor]) => [columns[part], factor]);
    const made = new Array(column.length);
    for (let row = 0; row < column.length; row += 1) {
      let value = 0;
      for (const [part, factor] of parts) value += factor * part[row];
      made[row] = column.floor ? Math.max(0, value) : value;
    }
    column.at.forEach((row, index) => { made[row] = column.is[index]; });
    columns[name] = made;
  }
}

/** The positions of a part's entries by seller and currency. */
function byRow({ columns, pool, length }) {
  const index = new Map();
  for (let position = 0; position < length; position += 1) {
    const id = pool ? pool[columns.seller[position]] : columns.seller_id[position];
    const key = `${columns.currency[position]} ${id}`;
    if (index.has(key)) index.get(key).push(position);
    else index.set(key, [position]);
  }
  return index;
}

const indices = new WeakMap();

/** Where in a part the entries of a row of the table of all sellers are. */
function entriesOf(data, name, row) {
  const part = data[name];
  if (!indices.has(part)) indices.set(part, byRow(part));
  const { currency, seller_id: ids } = data.sellers.columns;
  return indices.get(part).get(`${currency[row]} ${ids[row]}`) || [];
}
