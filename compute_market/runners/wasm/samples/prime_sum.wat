;; Counts and adds up the primes below a limit with the sieve of Eratosthenes, one byte a number.
;; Input: the limit (i32, little-endian, at least 2). Output: count (i64), sum (i64).
;; Exported globals hold the scalars, memory from 65536 on the sieve: both are part of a checkpoint.
(module
  (memory (export "memory") 1)
  (global $limit (export "limit") (mut i32) (i32.const 0))
  (global $at (export "at") (mut i32) (i32.const 2))
  (global $count (export "count") (mut i64) (i64.const 0))
  (global $sum (export "sum") (mut i64) (i64.const 0))

  (func (export "alloc") (param $length i32) (result i32) (i32.const 1024))

  (func (export "init") (param $pointer i32) (param $length i32)
    (if (i32.ne (local.get $length) (i32.const 4)) (then unreachable))
    (global.set $limit (i32.load (local.get $pointer)))
    (if (i32.lt_u (global.get $limit) (i32.const 2)) (then unreachable))
    ;; no memory for the sieve: the job's limit is too low
    (if (i32.eq (memory.grow (i32.add (i32.shr_u (global.get $limit) (i32.const 16)) (i32.const 1))) (i32.const -1))
      (then unreachable)))

  (func (export "step") (param $budget i32) (result i32)
    (local $multiple i64) (local $from i32)
    (local.set $from (global.get $at))
    (block $stop
      (loop $number
        (br_if $stop (i32.ge_u (global.get $at) (global.get $limit)))
        (br_if $stop (i32.ge_u (i32.sub (global.get $at) (local.get $from)) (local.get $budget)))
        (if (i32.eqz (i32.load8_u offset=65536 (global.get $at)))
          (then
            (global.set $count (i64.add (global.get $count) (i64.const 1)))
            (global.set $sum (i64.add (global.get $sum) (i64.extend_i32_u (global.get $at))))
            (local.set $multiple (i64.mul (i64.extend_i32_u (global.get $at)) (i64.extend_i32_u (global.get $at))))
            (block $marked
              (loop $mark
                (br_if $marked (i64.ge_u (local.get $multiple) (i64.extend_i32_u (global.get $limit))))
                (i32.store8 offset=65536 (i32.wrap_i64 (local.get $multiple)) (i32.const 1))
                (local.set $multiple (i64.add (local.get $multiple) (i64.extend_i32_u (global.get $at))))
                (br $mark)))))
        (global.set $at (i32.add (global.get $at) (i32.const 1)))
        (br $number)))
    (i32.ge_u (global.get $at) (global.get $limit)))

  (func (export "progress") (result f64)
    (f64.div (f64.convert_i32_u (global.get $at)) (f64.convert_i32_u (global.get $limit))))

  (func (export "output") (result i32 i32)
    (i64.store (i32.const 512) (global.get $count))
    (i64.store (i32.const 520) (global.get $sum))
    (i32.const 512) (i32.const 16)))
