-- What the durable job writes: a row of its own, and one effect a run.
CREATE TABLE bench_row (id integer PRIMARY KEY, done integer NOT NULL DEFAULT 0);
CREATE TABLE bench_effect (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job integer NOT NULL
);
