// What whoever cannot see well, or works by keyboard, needs of a page; it runs in the page and gives what is missing.

/** Text with less contrast than WCAG 2.2 asks for (1.4.3: 4.5 to 1), and controls without a name (4.1.2) or too small to hit (2.5.8). */
export function missing() {
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const numbers = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, opacity = 1] = numbers(getComputedStyle(at).backgroundColor);
      if (opacity > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const shown = (element) => element.checkVisibility() && element.getBoundingClientRect().right > 0;
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const speaks = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!speaks || !shown(element) || element.matches('option, :disabled')) continue;
    const [one, other] = [numbers(getComputedStyle(element).color).slice(0, 3), ground(element)].map(luminance);
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) found.push(`contrast ${contrast.toFixed(2)} of “${element.textContent.trim().slice(0, 30)}”`);
  }
  for (const control of document.querySelectorAll('a, button, input, select, textarea')) {
    const name = control.textContent.trim() || control.ariaLabel || [...(control.labels ?? [])].map((label) => label.textContent.trim()).join();
    if (!name) found.push(`no name: ${control.outerHTML.slice(0, 80)}`);
    const { height } = control.getBoundingClientRect();
    if (shown(control) && control.matches('button:not(.link), input:not([type=checkbox]), select, textarea, nav a') && height < 24) found.push(`${height} high: “${name}”`);
  }
  return found;
}
