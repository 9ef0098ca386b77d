;; Estimates π: throws points into the unit square with a xorshift64 generator (Marsaglia, 2003) and counts those in the
;; quarter circle. Input: seed (i64) and number of points (i64), little-endian. Output: hits (i64), points (i64), π (f64).
;; All state lives in memory from 1024 on: seed, points, thrown, hits.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param $length i32) (result i32) (i32.const 2048))

  (func (export "init") (param $pointer i32) (param $length i32)
    (if (i32.ne (local.get $length) (i32.const 16)) (then unreachable))
    ;; a seed of zero would stay zero
    (i64.store (i32.const 1024) (i64.or (i64.load (local.get $pointer)) (i64.const 1)))
    (i64.store (i32.const 1032) (i64.load offset=8 (local.get $pointer)))
    (i64.store (i32.const 1040) (i64.const 0))
    (i64.store (i32.const 1048) (i64.const 0)))

  (func $next (param $seed i64) (result i64)
    (local.set $seed (i64.xor (local.get $seed) (i64.shl (local.get $seed) (i64.const 13))))
    (local.set $seed (i64.xor (local.get $seed) (i64.shr_u (local.get $seed) (i64.const 7))))
    (i64.xor (local.get $seed) (i64.shl (local.get $seed) (i64.const 17))))

  (func $unit (param $seed i64) (result f64)
    ;; the upper 53 bits as a fraction of one
    (f64.mul (f64.convert_i64_u (i64.shr_u (local.get $seed) (i64.const 11))) (f64.const 0x1p-53)))

  (func (export "step") (param $budget i32) (result i32)
    (local $seed i64) (local $left i64) (local $hits i64) (local $x f64) (local $y f64) (local $count i64)
    (local.set $seed (i64.load (i32.const 1024)))
    (local.set $hits (i64.load (i32.const 1048)))
    (local.set $left (i64.sub (i64.load (i32.const 1032)) (i64.load (i32.const 1040))))
    (local.set $count (i64.extend_i32_u (local.get $budget)))
    (if (i64.lt_u (local.get $left) (local.get $count)) (then (local.set $count (local.get $left))))
    (i64.store (i32.const 1040) (i64.add (i64.load (i32.const 1040)) (local.get $count)))
    (block $thrown
      (loop $throw
        (br_if $thrown (i64.eqz (local.get $count)))
        (local.set $seed (call $next (local.get $seed)))
        (local.set $x (call $unit (local.get $seed)))
        (local.set $seed (call $next (local.get $seed)))
        (local.set $y (call $unit (local.get $seed)))
        (local.set $hits (i64.add (local.get $hits) (i64.extend_i32_u
          (f64.lt (f64.add (f64.mul (local.get $x) (local.get $x)) (f64.mul (local.get $y) (local.get $y)))
                  (f64.const 1)))))
        (local.set $count (i64.sub (local.get $count) (i64.const 1)))
        (br $throw)))
    (i64.store (i32.const 1024) (local.get $seed))
    (i64.store (i32.const 1048) (local.get $hits))
    (i64.eq (i64.load (i32.const 1040)) (i64.load (i32.const 1032))))

  (func (export "progress") (result f64)
    (f64.div (f64.convert_i64_u (i64.load (i32.const 1040))) (f64.convert_i64_u (i64.load (i32.const 1032)))))

  (func (export "output") (result i64)
    (i64.store (i32.const 512) (i64.load (i32.const 1048)))
    (i64.store (i32.const 520) (i64.load (i32.const 1032)))
    (f64.store (i32.const 528) (f64.div
      (f64.mul (f64.const 4) (f64.convert_i64_u (i64.load (i32.const 1048))))
      (f64.convert_i64_u (i64.load (i32.const 1032)))))
    ;; pointer 512, length 24
    (i64.or (i64.shl (i64.const 512) (i64.const 32)) (i64.const 24))))
