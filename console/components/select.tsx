// A labelled field that selects one of a few options.
import { Field } from "./field.tsx";

interface SelectProps<T extends string> {
  readonly label: string;
  readonly hint?: string;
  /** The options' labels by value. */
  readonly options: Readonly<Record<T, string>>;
  readonly value: T;
  readonly onChoose: (value: T) => void;
}

export function Select<T extends string>({ label, hint, options, value, onChoose }: SelectProps<T>) {
  return (
    <Field label={label} hint={hint}>
      {(props) => (
        <select {...props} value={value} onChange={(event) => onChoose(event.currentTarget.value as T)}>
          {(Object.entries(options) as [T, string][]).map(([option, text]) => (
            <option key={option} value={option}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
