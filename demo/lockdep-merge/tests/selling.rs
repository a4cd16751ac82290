//! Sees one half of the inversion.

#[test]
fn what_is_sold_is_paid() {
    let shop = lockdep_merge::Shop::new(&[3, 4]);
    assert_eq!(shop.sell(), Some(4));
}
