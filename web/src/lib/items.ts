// What an officer writes into the box of the page Ask, one to a line, and what is wrong with it.
import { subjectValues, type components } from '../api/schema';

type Item = components['schemas']['MatchItem'];

/** A line that cannot be asked. */
export interface Fault {
  /** Counted from 1, in the box. */
  line: number;
  detail: string;
}

/** What the lines say: items with the line of each, and lines that say nothing that can be asked. */
export interface Read {
  items: Item[];
  lines: number[];
  faults: Fault[];
}

/** Reads the box. Whether an identifier can be what it says it is, such as by its check digit, the node decides. */
export function read(text: string): Read {
  const found: Read = { items: [], lines: [], faults: [] };
  text.split('\n').forEach((given, place) => {
    const line = place + 1;
    if (!given.trim()) return;
    const item = itemOf(given.trim());
    if (typeof item === 'string') return found.faults.push({ line, detail: item });
    found.items.push(item);
    return found.lines.push(line);
  });
  return found;
}

function itemOf(text: string): Item | string {
  const [type, ...rest] = text.split(':');
  const subject = subjectValues.find((subject) => subject === type?.trim().toLowerCase());
  const value = rest.join(':').trim();
  if (!subject) return `begins with none of ${subjectValues.join(', ')} and a colon`;
  if (!value) return `nothing stands after “${subject}:”`;
  if (subject !== 'name') return { subject, value };
  const [, name, year] = /^(.*):\s*(\d{4})$/.exec(value) ?? [];
  if (!name || !year) return 'a name ends with a colon and the year of birth, such as name:Nguyen Van An:1980';
  return { subject, value: name.trim(), birth_year: Number(year) };
}

/** The line that a refusal of the node is about, if it names an item: the API counts them from 0, as `items[3]`. */
export function faultOf(detail: string, lines: number[]): Fault | undefined {
  const [whole, number] = /^`items\[(\d+)\]`,?\s*/.exec(detail) ?? [];
  const line = number === undefined ? undefined : lines[Number(number)];
  return line === undefined || whole === undefined ? undefined : { line, detail: detail.slice(whole.length) };
}
