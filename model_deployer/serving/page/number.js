/** Numbers in words. */

/** Return a number with five significant digits, and all digits before the point. */
export function number(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e12)) {
    return value.toPrecision(4);
  }
  const options = size >= 10_000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 5 };
  return value.toLocaleString("en", options);
}

/** Return a measured figure with three to four significant digits. */
export function figure(value) {
  return Math.abs(value) >= 1000 ? number(Math.round(value)) : number(Number(value.toPrecision(4)));
}

/** Return all digits of a number. */
export function exact(value) {
  return String(value);
}

/** Return a share from 0 to 1 as a percentage. Only 0 and 1 are 0 % and 100 %. */
export function percent(share) {
  if (share > 0 && share < 0.001) {
    return "less than 0.1 %";
  }
  if (share < 1 && share > 0.999) {
    return "more than 99.9 %";
  }
  return `${(100 * share).toLocaleString("en", { maximumFractionDigits: 1 })} %`;
}

/** Return a number of bytes in the largest unit that gives a whole number. */
export function bytes(size) {
  const units = [
    [1024 ** 2, "MiB"],
    [1024, "KiB"],
  ];
  const [divisor, unit] = units.find(([least]) => size % least === 0) ?? [1, "bytes"];
  return `${(size / divisor).toLocaleString("en")} ${unit}`;
}
