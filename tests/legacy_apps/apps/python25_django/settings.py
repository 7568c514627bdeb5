BOOK_TITLE = 'Guests'
