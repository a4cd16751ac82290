//! Sees the other half of the inversion.

#[test]
fn nothing_is_lost() {
    let shop = lockdep_merge::Shop::new(&[3, 4]);
    assert_eq!(shop.audit(), 7);
}
